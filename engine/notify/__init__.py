"""Alerts: rules turn events into alerts, a child process delivers them, an operator acknowledges.

Nothing here is waited for by the engine: an event is put into a bounded queue, and what becomes
of it is decided on a thread of its own.
"""
