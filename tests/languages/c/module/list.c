/* This source is part of another one. If it were compiled itself too, it would be twice there. */
const char *first = "module";
