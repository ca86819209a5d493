// Package loadtest sends requests for tests that count them on both sides: each
// request has an id, which its client notes with what it got, and the app with
// what it did.
package loadtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// dialTimeout bounds the making of a connection, answerTimeout a whole request.
	dialTimeout   = 5 * time.Second
	answerTimeout = 20 * time.Second
)

// Sent is a request with what its client got.
type Sent struct {
	// ID is what the app gets in the header "Id".
	ID     string
	Method string
	// Kept tells that its connection had an earlier request.
	Kept bool `json:",omitempty"`
	// Status is that of the answer, 0 if there was no whole one.
	Status int
	// Began and Ended are when the client sent it, and had the answer.
	Began, Ended time.Time
	// By is what the answer says of who made it: nginx, or "" for HAProxy.
	By string
	// Text is the answer's, of a client with Texts.
	Text string `json:",omitempty"`
	// Fault is why there was no whole answer.
	Fault string
}

// Took is how long the client waited.
func (s Sent) Took() time.Duration { return s.Ended.Sub(s.Began) }

// Client sends requests over a connection of its own and never sends one twice,
// as [http.Client] does with requests that it takes for safe.
type Client struct {
	// Address is the server's, host and port.
	Address string
	// Close has it make a connection for each request.
	Close bool
	// Texts has it keep what the answers say.
	Texts bool

	conn net.Conn
	read *bufio.Reader
}

// Send sends one request. The headers are names, each with its value behind it;
// only a POST has a body.
func (c *Client) Send(ctx context.Context, method, path, id string, body []byte, headers ...string) Sent {
	s := Sent{ID: id, Method: method, Kept: c.conn != nil, Began: time.Now()}
	got, err := c.exchange(ctx, method, path, id, body, headers)
	if err != nil {
		s.Fault = err.Error()
	} else {
		s.Status, s.By, s.Text = got.status, got.by, got.text
	}
	if err != nil || c.Close || got.last {
		c.Drop()
	}
	s.Ended = time.Now()
	return s
}

// answer is what counts of an answer. The last one ends its connection.
type answer struct {
	status   int
	by, text string
	last     bool
}

// exchange returns an answer that has arrived as a whole.
func (c *Client) exchange(ctx context.Context, method, path, id string, body []byte, headers []string) (answer, error) {
	if err := c.connect(ctx); err != nil {
		return answer{}, err
	}
	if err := c.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return answer{}, err
	}
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: test\r\nId: %s\r\n", method, path, id)
	for i := 0; i+1 < len(headers); i += 2 {
		request += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	if c.Close {
		request += "Connection: close\r\n"
	}
	if method == http.MethodPost {
		request += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	} else {
		body = nil
	}
	if _, err := c.conn.Write(append([]byte(request+"\r\n"), body...)); err != nil {
		return answer{}, err
	}
	response, err := http.ReadResponse(c.read, nil)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // it has been read, or the connection is dropped
	var text strings.Builder
	into := io.Discard
	if c.Texts {
		into = &text
	}
	if _, err = io.Copy(into, response.Body); err != nil {
		err = fmt.Errorf("the answer began with status %d, and then: %w", response.StatusCode, err)
	}
	return answer{response.StatusCode, response.Header.Get("Server"), text.String(), response.Close}, err
}

func (c *Client) connect(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", c.Address)
	if err != nil {
		return err
	}
	c.conn, c.read = conn, bufio.NewReader(conn)
	return nil
}

// Drop ends the connection; the next request makes another.
func (c *Client) Drop() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is lost with it
		c.conn = nil
	}
}
