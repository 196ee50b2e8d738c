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

for (const input of form?.querySelectorAll('input[type=file]') ?? []) input.addEventListener('change', () => read(input));

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
