"""What a process finds that a program on the simulated terminal starts.

This directory leads its path (`PYTHONPATH`), so nothing but `MetaTrader5` belongs here.
"""
