// Takes the pictures of the capture page with the camera. Without this script, or without
// a camera, the fields take files.
const form = document.querySelector('form[data-capture]');
const words = form?.dataset;
let live = null; // the field whose camera is on

function stop() {
  live?.stream.getTracks().forEach((t) => t.stop());
  live?.video.remove();
  live?.button.remove();
  live = null;
}

// snap puts the picture that is seen into the field, as if it were a file.
async function snap(field, input, video, say) {
  const canvas = document.createElement('canvas');
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext('2d').drawImage(video, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, 'image/jpeg', 0.9));
  const files = new DataTransfer();
  files.items.add(new File([blob], field.dataset.picture + '.jpg', { type: 'image/jpeg' }));
  input.files = files.files;
  stop();
  say.textContent = words.wordsTaken;
  read(input);
  look(field, input);
}

// Where the form can say that its picture was seen, the picture is shown before it is sent,
// drawn anew: the page may show nothing that does not come from the site. Without this the
// site shows it.
const longest = 960;
async function look(field, input) {
  const seen = form.elements.seen;
  if (!seen) return;
  const button = form.querySelector('[data-send]');
  button.dataset.words ??= button.textContent;
  field.querySelector('figure')?.remove();
  [seen.value, button.textContent] = ['', button.dataset.words];
  const file = input.files[0];
  if (!file) return;
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    return; // not a picture that this browser reads: the site says so
  }
  if (input.files[0] !== file) return; // another one was chosen meanwhile
  const scale = Math.min(1, longest / Math.max(picture.width, picture.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, picture.width * scale);
  canvas.height = Math.max(1, picture.height * scale);
  canvas.getContext('2d').drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', words.wordsImage);
  for (const [name, value] of [['display', 'block'], ['width', 'min(480px, 100%)'], ['height', 'auto'], ['border-radius', '8px']]) canvas.style.setProperty(name, value);
  const figure = document.createElement('figure');
  figure.append(canvas);
  field.append(figure);
  [seen.value, button.textContent] = ['yes', words.wordsSeen];
}

// The bar code on the back goes along as a hint: whoever looks at the pictures sees
// whether it fits. Without one, or without the reader, nothing is missing.
async function read(input) {
  const field = form.elements.barcode;
  const reader = globalThis.ZXingWASM;
  if (input.name !== 'back' || !field || !reader) return;
  field.value = '';
  if (!input.files.length) return;
  try {
    reader.prepareZXingModule({ overrides: { locateFile: () => field.dataset.reader } });
    const [code] = await reader.readBarcodes(input.files[0], { formats: ['PDF417'], textMode: 'Plain', tryHarder: true, maxNumberOfSymbols: 1 });
    if (code?.isValid) field.value = btoa(String.fromCharCode(...new TextEncoder().encode(code.text)));
  } catch {
    // A browser without WebAssembly reads nothing.
  }
}

for (const input of form?.querySelectorAll('input[type=file]') ?? []) {
  input.addEventListener('change', () => {
    read(input);
    look(input.closest('[data-picture]'), input);
  });
}

async function start(field, input, say) {
  stop();
  say.textContent = '';
  let stream;
  try {
    const facing = input.getAttribute('capture');
    stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode: facing, width: { ideal: 1920 }, height: { ideal: 1080 } } });
  } catch {
    say.textContent = words.wordsNone;
    return;
  }
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  video.className = 'camera';
  video.srcObject = stream;
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = words.wordsSnap;
  button.dataset.snap = field.dataset.picture;
  button.disabled = true;
  button.addEventListener('click', () => snap(field, input, video, say));
  field.append(video, button);
  live = { stream, video, button };
  await video.play();
  button.disabled = false;
  button.focus();
}

for (const field of navigator.mediaDevices?.getUserMedia ? form?.querySelectorAll('[data-picture]') ?? [] : []) {
  const input = field.querySelector('input');
  const say = document.createElement('p');
  say.setAttribute('role', 'status');
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'plain';
  button.textContent = words.wordsCamera;
  button.dataset.camera = field.dataset.picture;
  button.setAttribute('aria-describedby', field.querySelector('.hint').id);
  button.addEventListener('click', () => start(field, input, say));
  field.append(say, button);
}
addEventListener('pagehide', stop);
