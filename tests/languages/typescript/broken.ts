const count: number = 1;
const text: string = count; // HERE
console.log(text);
