questions = [
    ("What is 7 times 8?", "56"),
    ("Which planet is closest to the sun?", "mercury"),
    ("How many legs has a spider?", "8"),
]

points = 0
for question, answer in questions:
    guess = input(question + " ").strip().lower()
    if guess == answer:
        print("\033[32mRight!\033[0m")
        points += 1
    else:
        print(f"\033[31mNo:\033[0m it is {answer}.")

print(f"You have {points} of {len(questions)} points.")
