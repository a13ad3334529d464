/** A file that the executable carries as it is. */
declare module "*.py" {
  const text: string;
  export default text;
}
