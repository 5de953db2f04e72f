package packs_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

const request = "http/actions/request.py"

func TestWhereRequestsMayGo(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	cases := map[string]string{ // what each address is; "": public
		"127.0.0.1": "a loopback", "127.255.0.1": "a loopback", "::1": "a loopback", "::ffff:127.0.0.1": "a loopback", "64:ff9b::7f00:1": "a loopback",
		"169.254.169.254": "a link-local", "fe80::1": "a link-local", "fe80::1%eth0": "a link-local", "64:ff9b::a9fe:a9fe": "a link-local",
		"10.0.0.1": "a private", "172.16.0.1": "a private", "172.31.255.255": "a private", "192.168.1.1": "a private", "fc00::1": "a private",
		"fd12::1": "a private", "fec0::1": "a private", "::ffff:10.0.0.1": "a private", "64:ff9b::a00:1": "a private",
		"100.64.0.1": "a carrier's private", "100.127.255.255": "a carrier's private", "::ffff:100.64.0.1": "a carrier's private",
		"224.0.0.1": "a multicast", "239.255.255.255": "a multicast", "ff02::1": "a multicast",
		"0.0.0.0": "a reserved", "0.1.2.3": "a reserved", "192.0.0.1": "a reserved", "192.0.2.1": "a reserved", "198.18.0.1": "a reserved", "198.51.100.1": "a reserved",
		"203.0.113.1": "a reserved", "240.0.0.1": "a reserved", "255.255.255.255": "a reserved", "192.88.99.1": "a reserved",
		"::": "a reserved", "::7f00:1": "a reserved", "64:ff9b:1::7f00:1": "a reserved", "100::1": "a reserved", "2001::1": "a reserved",
		"2001:db8::1": "a reserved", "2002:7f00:1::": "a reserved", "3fff::1": "a reserved", "4000::1": "a reserved", "5f00::1": "a reserved",
		"1.1.1.1": "", "93.184.216.34": "", "172.15.255.255": "", "172.32.0.1": "", "100.63.255.255": "", "100.128.0.1": "", "169.253.0.1": "",
		"223.255.255.255": "", "11.0.0.1": "", "128.0.0.1": "", "2606:2800:220:1::1": "", "2a00:1450::1": "", "::ffff:1.1.1.1": "", "64:ff9b::101:101": "",
		"10.9.8.7": "", "::ffff:10.9.8.7": "", "64:ff9b::a09:807": "", "fd00:1::9": "", // allowed below
	}
	var addresses []string
	for a := range cases {
		addresses = append(addresses, a)
	}
	text, err := json.Marshal(addresses)
	if err != nil {
		t.Fatal(err)
	}
	program := `import json, runpy, sys
m = runpy.run_path(sys.argv[1])
t = m["Targets"](["10.9.8.0/24", "fd00:1::/32", "*.Corp.Example.", "one.example"])
print(json.dumps([{a: t.why_not(a) or "" for a in json.loads(sys.argv[2])}, {h: t.knows(h) for h in json.loads(sys.argv[3])}]))`
	hosts := `["a.corp.example", "A.b.CORP.example.", "corp.example", "xcorp.example", "one.example", "two.one.example", "corp.example.evil"]`
	out, err := exec.CommandContext(t.Context(), python, "-I", "-c", program, request, string(text), hosts).Output() //nolint:gosec // the test's own
	if err != nil {
		t.Fatal(err)
	}
	var got [2]map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for a, want := range cases {
		if got[0][a] != want {
			t.Errorf("%s is %q, want %q", a, got[0][a], want)
		}
	}
	for host, want := range map[string]bool{"a.corp.example": true, "A.b.CORP.example.": true, "one.example": true, "corp.example": false, "xcorp.example": false, "two.one.example": false, "corp.example.evil": false} {
		if got[1][host] != want {
			t.Errorf("%s is allowed: %v, want %v", host, got[1][host], want)
		}
	}
}

// A network of its own, in which names and addresses are what the test says, shows where connections really go.
func TestNoNameLeadsARequestAside(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"python3", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestWithinANetworkOfItsOwn$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if cmd.Process == nil || bytes.Contains(out, []byte(noNetwork)) {
		t.Skipf("this machine gives no network of its own: %v\n%s", err, out)
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestWithinANetworkOfItsOwn")) {
		t.Errorf("%v\n%s", err, out)
	}
}

const (
	inside    = "PACKS_TEST_INSIDE"
	noNetwork = "no network of its own"
	public    = "93.184.216.34"
	port      = 8080
)

// TestWithinANetworkOfItsOwn is run by the test above.
func TestWithinANetworkOfItsOwn(t *testing.T) { //nolint:paralleltest // it is alone in its process
	dir := os.Getenv(inside)
	if dir == "" {
		t.Skip("run by TestNoNameLeadsARequestAside")
	}
	if err := makeNetwork(dir); err != nil {
		t.Fatalf("%s: %v", noNetwork, err)
	}
	serveNames(t)
	var within atomic.Int32
	serveAt(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { within.Add(1); fmt.Fprint(w, "within") })
	serveAt(t, public, func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		fmt.Fprint(w, "outside")
	})
	at := func(host string) string { return fmt.Sprintf("http://%s:%d/", host, port) }
	aside := func(to string) string { return at("public.test") + "?to=" + to }
	const refused = "the pack's configuration does not allow it"
	for _, c := range []struct{ name, url, allow, want string }{
		{"a public name", at("public.test"), `[]`, "outside"},
		{"a name of loopback", at("inside.test"), `[]`, refused},
		{"a name of both", at("both.test"), `[]`, "outside"},
		{"an address written as a number", at("2130706433"), `[]`, refused},
		{"a name that changes between two looks", at("rebind.test"), `[]`, "outside"},
		{"and after it has changed", at("rebind.test"), `[]`, refused},
		{"a redirect to an address", aside(at("127.0.0.1")), `[]`, refused},
		{"a redirect to a name", aside(at("inside.test")), `[]`, refused},
		{"a redirect to a mapped address", aside(at("[::ffff:127.0.0.1]")), `[]`, refused},
		{"a redirect to a name that changes", at("rebind2.test") + "?to=" + at("rebind2.test"), `[]`, refused},
		{"a redirect to the data of a cloud", aside("http://169.254.169.254/latest/meta-data/"), `[]`, refused},
		{"a name that is allowed", at("inside.test"), `["inside.test"]`, "within"},
		{"an address that is allowed", at("inside.test"), `["127.0.0.0/8"]`, "within"},
		{"a redirect to what is allowed", aside(at("inside.test")), `["*.test"]`, "within"},
		{"another name than the one that is allowed", at("inside.test"), `["other.test"]`, refused},
		{"what is no address", at("inside.test"), `["a b"]`, "is no address, no network"},
	} {
		before := within.Load()
		got := send(t, dir, c.url, c.allow)
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if went := within.Load() > before; went != (c.want == "within") {
			t.Errorf("%s: it went within: %v", c.name, went)
		}
	}
}

// makeNetwork gives this process a loopback interface with a public address, and names from the test's own server.
func makeNetwork(dir string) error {
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"addr", "add", public + "/32", "dev", "lo"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts of its own: %w", err)
	}
	for file, text := range map[string]string{"/etc/resolv.conf": "nameserver 127.0.0.1\n", "/etc/nsswitch.conf": "hosts: files dns\n"} {
		ours := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(ours, []byte(text), 0o600); err != nil {
			return err
		}
		if err := syscall.Mount(ours, file, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// serveNames answers for names: the first time that one which changes is asked for it is a public one.
func serveNames(t *testing.T) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		asked := map[string]int{}
		for buf := make([]byte, 1500); ; {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := answerFor(buf[:n], asked); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
}

// answerFor makes the answer to a question of DNS (RFC 1035) for an address.
func answerFor(query []byte, asked map[string]int) []byte {
	var labels []string
	at := 12
	for at < len(query) && query[at] != 0 {
		size := int(query[at])
		labels = append(labels, string(query[at+1:at+1+size]))
		at += 1 + size
	}
	end := at + 5 // behind the name: its type and its class
	if end > len(query) {
		return nil
	}
	name := strings.Join(labels, ".")
	var addresses []string
	if binary.BigEndian.Uint16(query[at+1:]) == 1 { // of IPv4
		asked[name]++
		switch {
		case name == "public.test", strings.HasPrefix(name, "rebind") && asked[name] == 1:
			addresses = []string{public}
		case name == "both.test":
			addresses = []string{"127.0.0.1", public}
		case name == "inside.test", strings.HasPrefix(name, "rebind"):
			addresses = []string{"127.0.0.1"}
		}
	}
	answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, byte(len(addresses)), 0, 0, 0, 0}, query[12:end]...)
	for _, a := range addresses {
		answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // the same name, an address, for no time
		answer = append(answer, net.ParseIP(a).To4()...)
	}
	return answer
}

func serveAt(t *testing.T, address string, answer http.HandlerFunc) {
	t.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, port))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: answer} //nolint:gosec // the test's own clients
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

// send runs the action and gives what it says.
func send(t *testing.T, dir, url, allow string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", "-I", request)
	file := filepath.Join(dir, "result.json")
	_ = os.Remove(file) // of the request before
	cmd.Env = append(os.Environ(), "ATTUNE_RESULT_FILE="+file)
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`{"parameters":{"url":%q},"config":{"allow":%s}}`, url, allow))
	out, err := cmd.CombinedOutput()
	result, _ := os.ReadFile(file) //nolint:gosec // there is none when it was refused
	return fmt.Sprintf("%s%s (%v)", out, result, err)
}
