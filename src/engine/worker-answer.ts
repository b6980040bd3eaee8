/** What a worker thread answers. An error's class does not survive the way between threads, its message does. */
export type WorkerAnswer<Result> = { readonly result: Result } | { readonly inputError: string };
