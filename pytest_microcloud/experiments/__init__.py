"""The paper's experiments: a board in, measurements out."""
