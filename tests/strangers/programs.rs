//! What the server and a supervisor do for a program is charged to that program.
