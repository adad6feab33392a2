// The page of the library: files on their way in, the progress of what is being read, several versions chosen at once,
// switches with a way back.

import "./guidelines/batch.js";
import { poll } from "./guidelines/progress.js";
import "./guidelines/switches.js";
import "./guidelines/upload.js";

poll();
