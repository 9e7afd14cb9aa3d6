print("never")
local = 1 -- HERE
