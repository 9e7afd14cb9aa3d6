using System;
using System.Linq;

class Sum
{
    static void Main()
    {
        var words = Console.In.ReadToEnd().Split((char[])null, StringSplitOptions.RemoveEmptyEntries);
        Console.WriteLine(words.Select(long.Parse).Sum());
    }
}
