/** Version of this program, from package.json. Written by `npm run build:constants`. */
export const version = "0.1.0";
