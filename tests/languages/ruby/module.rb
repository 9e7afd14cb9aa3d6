require "greeting"

greet("module")
