// A wallet sent the person back: the page that asked gets the response code, which only
// its session can redeem. In another browser nobody knows which page that was.
import { left } from './wallet.js';

const page = left();
if (page && location.hash) location.replace(page + location.hash);
else document.querySelector('#astray').hidden = false;
