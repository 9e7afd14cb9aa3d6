package words;

public record Greeting(String name) {
    public String toString() {
        return "Hello, " + name + "!";
    }
}
