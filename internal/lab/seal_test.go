package lab_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// seal runs the last script of an image's build over a tree that holds a few files
// more, and returns what it said.
func seal(t *testing.T, planted map[string][]byte) (root string, said string, err error) {
	t.Helper()
	root = t.TempDir()
	files := map[string][]byte{
		"etc/machine-id": nil, "etc/hostname": nil, "etc/ssl/certs/ca.pem": []byte("-----BEGIN CERTIFICATE-----\n"),
		"var/log/syslog": nil, "var/log/journal/x": nil, "tmp/x": nil, "var/tmp/x": nil,
		// The agent's program knows the words.
		"usr/lib/foobar/foobar-agent": []byte("\x7fELF\x00-----BEGIN PRIVATE KEY-----\x00"),
	}
	for _, more := range []map[string][]byte{files, planted} {
		for path, content := range more {
			path = filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "../../images/provision/99-seal.sh")
	cmd.Env = append(os.Environ(), "IMAGE_BUILD=1", "IMAGE_ROOT="+root)
	output, err := cmd.CombinedOutput()
	return root, string(output), err
}

// keys are private keys as they lie in files, by their sort.
func keys(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	_, d, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	for name, key := range map[string]crypto.PrivateKey{"rsa": r, "ecdsa": e, "ed25519": d} {
		all["pkcs8."+name], err = x509.MarshalPKCS8PrivateKey(key)
		must(err)
	}
	all["pkcs1"] = x509.MarshalPKCS1PrivateKey(r)
	all["sec1"], err = x509.MarshalECPrivateKey(e)
	must(err)
	all["pem"] = pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: all["sec1"]})
	all["pem in a binary"] = append([]byte("\x00\x01\xff"), all["pem"]...)
	all["pkcs8 that is encrypted"] = append([]byte("\x30\x82\x06\xfe\x30\x28\x06\x0a\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01\x03"), make([]byte, 256)...)
	all["pkcs12"] = append([]byte("\x30\x82\x09\x51\x02\x01\x03\x30\x82\x09\x17"), make([]byte, 256)...)
	all["java"] = append([]byte("\xfe\xed\xfe\xed\x00\x00\x00\x02"), make([]byte, 64)...)
	return all
}

func TestSealingFailsOnAKeyOfAnySort(t *testing.T) {
	for sort, key := range keys(t) {
		for _, dir := range []string{"etc/some package", "var/lib/some", "opt/x/y", "root"} {
			t.Run(sort+" in "+dir, func(t *testing.T) {
				path := filepath.Join(dir, "thing")
				root, said, err := seal(t, map[string][]byte{path: key})
				if err == nil || !strings.Contains(said, filepath.Join(root, path)+"\n") {
					t.Errorf("sealing ended with %v: %s", err, said)
				}
			})
		}
	}
	for name, content := range map[string]string{"etc/x/keys.p12": "x", "var/lib/x/host.keytab": "x", "etc/mysql/debian.cnf": "[client]\npassword = made-up\n"} {
		t.Run(name, func(t *testing.T) {
			if root, said, err := seal(t, map[string][]byte{name: []byte(content)}); err == nil || !strings.Contains(said, filepath.Join(root, name)) {
				t.Errorf("sealing ended with %v: %s", err, said)
			}
		})
	}
}

func TestSealingDeletesWhatIsOneMachines(t *testing.T) {
	some := keys(t)
	gone := []string{
		"etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_rsa_key.pub", "root/.ssh/authorized_keys", "home/admin/.ssh/authorized_keys",
		"etc/ssl/private/ssl-cert-snakeoil.key", "var/lib/mysql/private_key.pem", "var/lib/postgresql/17/main/server.key",
		"var/lib/foobar/machine/key.pem", "etc/foobar/bootstrap.json", "var/lib/systemd/credential.secret", "var/lib/systemd/random-seed",
		"root/.bash_history", "etc/shadow-", "var/lib/cloud/user-data.txt", "tmp/key.der", "var/tmp/key.pem", "var/log/install.log",
	}
	planted := map[string][]byte{"etc/machine-id": []byte("0123"), "etc/hostname": []byte("builder")}
	for i, path := range gone {
		planted[path] = [][]byte{some["pem"], some["pkcs1"], some["pkcs8.ed25519"]}[i%3]
	}
	root, said, err := seal(t, planted)
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for _, path := range gone {
		if _, err := os.Lstat(filepath.Join(root, path)); !os.IsNotExist(err) {
			t.Errorf("%s is in the image (%v)", path, err)
		}
	}
	for path, want := range map[string]string{"etc/machine-id": "", "etc/hostname": "localhost\n"} {
		if got, err := os.ReadFile(filepath.Join(root, path)); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", path, got, err)
		}
	}
}

// What every machine may share is no key.
func TestSealingLetsPass(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, elliptic.P256().Params().N)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, said, err := seal(t, map[string][]byte{
		"etc/x/public.der": public, "etc/x/request.der": request, "etc/x/certificate.der": certificate,
		"etc/apt/keyrings/x.gpg": []byte("\x99\x02\x0d\x04"), "etc/empty": nil, "usr/local/bin/zero": []byte("0"),
	}); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}
