source("greeting.R")
greet("module")
