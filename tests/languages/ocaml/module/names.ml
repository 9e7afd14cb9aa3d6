let first = "module"
