/** An element whose text browsers take literally, without undoing escapes: a style sheet, a script, data for one. */
export interface RawProps {
  readonly tag: "style" | "script";
  /** Type of a script: `application/json` for data, which is never run. */
  readonly type?: string;
  readonly id?: string;
  /** Must not end the element itself; see {@link embeddedJson} for data. */
  readonly text: string;
}

export function Raw({ tag: Tag, text, ...attributes }: RawProps) {
  return <Tag {...attributes} dangerouslySetInnerHTML={{ __html: text }} />;
}
