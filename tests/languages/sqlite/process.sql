.shell echo process
