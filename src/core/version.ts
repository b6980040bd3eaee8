/** This program's version, as package.json has it. Written by `npm run build:constants`. */
export const version = "0.1.0";
