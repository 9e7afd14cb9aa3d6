class Names {
    static final String FIRST = "module";
}
