from greeting import greet

greet("module")
