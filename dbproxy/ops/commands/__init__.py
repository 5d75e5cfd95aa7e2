"""The commands of the control socket, a file for each topic."""
