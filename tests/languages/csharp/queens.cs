using System;
using System.Collections.Generic;
using System.Linq;

static class Queens
{
    static IEnumerable<int[]> Solutions(int[] queens)
    {
        if (queens.Length == 8) return new[] { queens };
        return Enumerable.Range(1, 8)
            .Where(column => !queens.Where((other, row) =>
                other == column || Math.Abs(other - column) == queens.Length - row).Any())
            .SelectMany(column => Solutions(queens.Concat(new[] { column }).ToArray()));
    }

    static void Main()
    {
        var found = Solutions(new int[0]).ToList();
        Console.WriteLine(string.Join(" ", found[0]));
        Console.WriteLine(found.Count);
    }
}
