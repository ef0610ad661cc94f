"""MetaTrader5 in a process that a program on the simulated terminal started: no terminal."""

from engine.terminal.simulated.module.module import install, without_terminal

install(without_terminal())
