/** Pages and licences that the executable carries as they are. */
declare module "*.md" {
  const text: string;
  export default text;
}
declare module "*/LICENSE" {
  const text: string;
  export default text;
}
declare module "*.mdx" {
  const text: string;
  export default text;
}
