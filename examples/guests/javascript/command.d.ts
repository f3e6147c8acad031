/** Makes a command of a function that takes the arguments of the program. What it throws is printed. */
export declare function command(main: (args: string[]) => void): {
    run(): void;
};
