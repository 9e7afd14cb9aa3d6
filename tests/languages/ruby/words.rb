puts $stdin.read.split.size
