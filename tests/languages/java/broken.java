public class Checks {
    public static void main(String[] arguments) {
        int number = "never"; // HERE
    }
}
