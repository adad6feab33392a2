// The page of one passage.

import { showPage } from "./page-view.js";

showPage(document);
