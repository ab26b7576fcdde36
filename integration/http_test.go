// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/netstack"
)

// A fileServer serves GET /SIZE: that many bytes, always the same for a size. It takes uploads and answers with their
// checksum.
type fileServer struct{}

// content writes the file of a size.
func content(w io.Writer, size int64) error {
	source := rand.NewChaCha8([32]byte{'h', 'o', 'o', 'k', 'n', 'e', 't'})
	_, err := io.CopyN(w, source, size)
	return err
}

func (fileServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodPut {
		sum := sha256.New()
		if _, err := io.Copy(sum, req.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%x", sum.Sum(nil))
		return
	}
	size, err := strconv.ParseInt(req.URL.Path[1:], 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	_ = content(w, size) // the client sees an error by the length
}

// checksum returns the SHA-256 of the file of a size.
func checksum(t *testing.T, size int64) string {
	t.Helper()
	sum := sha256.New()
	if err := content(sum, size); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// serveFiles serves on a listener, until the end of the test.
func serveFiles(t *testing.T, l net.Listener) {
	t.Helper()
	server := &http.Server{Handler: fileServer{}, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { // ends with the server
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// curl fetches the file of a size from host:port and checks it.
func curl(t *testing.T, from *testbed.Namespace, address string, size int64) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	at := url.URL{Scheme: "http", Host: address, Path: strconv.FormatInt(size, 10)}
	begin := time.Now()
	from.Run(t, "curl", "-sS", "--fail", "--noproxy", "*", "--max-time", "25", "-o", file, at.String())
	t.Logf("%d bytes from %s: %.2f Gbit/s", size, address, float64(size)*8/time.Since(begin).Seconds()/1e9)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%x", sum.Sum(nil)), checksum(t, size); got != want {
		t.Errorf("%d bytes from %s arrived with checksum %s, want %s", size, address, got, want)
	}
}

// upload sends the file of a size to host:port and checks what arrived.
func upload(t *testing.T, from *testbed.Namespace, address string, size int64) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	if err := content(file, size); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	at := url.URL{Scheme: "http", Host: address, Path: "/upload"}
	got := from.Run(t, "curl", "-sS", "--fail", "--noproxy", "*", "--max-time", "25", "-T", file.Name(), at.String())
	if want := checksum(t, size); got != want {
		t.Errorf("%d bytes to %s arrived with checksum %s, want %s", size, address, got, want)
	}
}

const (
	largeFile  = 100 << 20
	mediumFile = 10 << 20
)

func TestCurl(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "curl")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	for _, host := range []string{testbed.Blue4, testbed.Blue6} {
		t.Run(host, func(t *testing.T) {
			address := net.JoinHostPort(host, "80")
			serveFiles(t, r.Blue.Listen(t, "tcp", address))
			curl(t, r.Red, address, largeFile)
			upload(t, r.Red, address, mediumFile)
		})
	}
}

// A server on the host stack of the instance, reached from a namespace; on the near address and on the far one.
func TestCurlFromInstance(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "curl")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	for host, size := range map[string]int64{
		testbed.Left4: largeFile, testbed.Left6: mediumFile, testbed.Right4: mediumFile, testbed.Right6: largeFile,
	} {
		t.Run(host, func(t *testing.T) {
			address := net.JoinHostPort(host, "80")
			l, err := r.Instance.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			serveFiles(t, l)
			curl(t, r.Red, address, size)
			upload(t, r.Red, address, mediumFile)
		})
	}
}

// The instance dials: a server of the kernel in a namespace, and one of its own by an address of its own.
func TestInstanceDials(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN)
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	client := http.Client{Transport: &http.Transport{DialContext: r.Instance.Dial, DisableKeepAlives: true}, Timeout: 25 * time.Second}
	fetch := func(t *testing.T, address string, size int64) {
		t.Helper()
		response, err := client.Get(fmt.Sprintf("http://%s/%d", address, size))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, response.Body); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprintf("%x", sum.Sum(nil)), checksum(t, size); got != want {
			t.Errorf("%d bytes from %s arrived with checksum %s, want %s", size, address, got, want)
		}
	}
	for _, host := range []string{testbed.Red4, testbed.Red6, testbed.Blue4, testbed.Blue6} {
		t.Run(host, func(t *testing.T) {
			in := r.Red
			if host == testbed.Blue4 || host == testbed.Blue6 {
				in = r.Blue
			}
			address := net.JoinHostPort(host, "80")
			serveFiles(t, in.Listen(t, "tcp", address))
			fetch(t, address, largeFile)
		})
	}
	for _, host := range []string{"127.0.0.1", "::1", testbed.Left4, testbed.Right6} {
		t.Run(host, func(t *testing.T) {
			address := net.JoinHostPort(host, "80")
			l, err := r.Instance.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			serveFiles(t, l)
			fetch(t, address, mediumFile)
		})
	}
	// Nobody there: the kernel's refusal arrives.
	if _, err := client.Get("http://" + testbed.Blue4 + ":81/1"); err == nil {
		t.Error("nobody listens, and yet there was an answer")
	}
}

// A path with a small MTU in the middle, which neither end knows of: path MTU discovery of both ends, and of both stacks.
func TestCurlThroughSmallMTU(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "curl")
	bed := testbed.New(t)
	near, far := bed.Instance(netstack.Config{Name: "near"}), bed.Instance(netstack.Config{Name: "far"})
	red, blue := bed.Namespace("red"), bed.Namespace("blue")
	bed.Link(red, near, testbed.LinkConfig{
		Host: testbed.Prefixes("10.0.1.2/24", "fd00:1::2/64"), Router: testbed.Prefixes("10.0.1.1/24", "fd00:1::1/64"), Routes: testbed.Everything,
	})
	bed.Link(blue, far, testbed.LinkConfig{
		Host: testbed.Prefixes("10.0.2.2/24", "fd00:2::2/64"), Router: testbed.Prefixes("10.0.2.1/24", "fd00:2::1/64"), Routes: testbed.Everything,
	})
	cable(t, bed, near, far, "10.0.9.0/30", "fd00:9::/64", 1280)
	routes(t, near, "cable", "10.0.2.0/24", "fd00:2::/64")
	routes(t, far, "cable", "10.0.1.0/24", "fd00:1::/64")

	for _, host := range []string{"10.0.2.2", "fd00:2::2"} {
		address := net.JoinHostPort(host, "80")
		serveFiles(t, blue.Listen(t, "tcp", address))
		curl(t, red, address, mediumFile)
		upload(t, red, address, mediumFile)
	}
	for _, host := range []string{"10.0.2.1", "fd00:2::1"} {
		address := net.JoinHostPort(host, "80")
		l, err := far.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		serveFiles(t, l)
		curl(t, red, address, mediumFile)
		upload(t, red, address, mediumFile)
	}
	if s := near.Stats(); s.Drops["too_big"] == 0 {
		t.Errorf("nothing was too big: %+v", s)
	}
}
