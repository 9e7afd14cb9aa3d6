import words.Greeting;

class Program {
    public static void main(String[] arguments) {
        System.out.println(new Greeting(Names.FIRST));
    }
}
