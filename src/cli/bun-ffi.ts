import * as ffi from "bun:ffi";
import { provideBunFfi } from "../system/libc/libc-bun.ts";

provideBunFfi(ffi);
