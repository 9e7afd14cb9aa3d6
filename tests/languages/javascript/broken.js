console.log("never");
const = 1; // HERE
