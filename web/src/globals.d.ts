/** Set by build.mjs. */
declare const WORKER_URL: string;
declare const BASEMAP_URL: string;
declare const CITY: import("./types").City;
