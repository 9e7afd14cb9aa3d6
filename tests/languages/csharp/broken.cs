class Broken
{
    static void Main()
    {
        int number = "never"; // HERE
    }
}
