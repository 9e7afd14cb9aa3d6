local greeting = require("greeting")

greeting.greet("module")
