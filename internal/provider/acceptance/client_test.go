//go:build lab

package acceptance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// clientEnv has the task that this program has in place of running tests: it is
// its own client on the public network.
const clientEnv = "FOOBAR_TEST_CLIENT"

// clientTime bounds the task of a test that is no more.
const clientTime = 90 * time.Minute

// task is what clients do until their input ends. One of its parts is set.
type task struct {
	Load    *loadtest.Load
	Streams *loadtest.Streams
}

// received is what they got.
type received struct {
	Sent    []loadtest.Sent
	Streams []loadtest.Stream
}

// clientMain does its task until its input ends, and prints what they got.
func clientMain() error {
	var given task
	if err := json.Unmarshal([]byte(os.Getenv(clientEnv)), &given); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), clientTime)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var got received
	if given.Load != nil {
		got.Sent = given.Load.Run(ctx)
	}
	if given.Streams != nil {
		got.Streams = given.Streams.Run(ctx)
	}
	return json.NewEncoder(os.Stdout).Encode(got)
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}
