"""The controller: the machine that pytest runs on, its private files, processes, Docker engine and images."""
