package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestT29_TheKeysAreSealedForThisMachineByDPAPI(t *testing.T) {
	dir, err := os.MkdirTemp("", "keys") // t.TempDir is emptied by a call that wine does not have
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = os.Remove(filepath.Join(dir, keysFile)), os.Remove(dir) })
	made, err := makeKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, keysFile))
	if err != nil || !bytes.Contains(text, []byte("dpapi")) || bytes.Contains(text, []byte("noise_private")) || bytes.Contains(text, made.noise.Private) {
		t.Fatalf("%v %s", err, text)
	}
	back, err := loadKeys(dir)
	if err != nil || back.fingerprint() != made.fingerprint() || !bytes.Equal(back.noise.Private, made.noise.Private) || !back.sign.Equal(made.sign) {
		t.Fatalf("%v: other keys come back", err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(filepath.Join(dir, keysFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadKeys(dir); err == nil {
		t.Error("a changed file opens")
	}
}
