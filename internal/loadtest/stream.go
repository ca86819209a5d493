package loadtest

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// againAfter is the pause before a client whose stream has ended connects again.
	againAfter = 50 * time.Millisecond
	// goingAway is the status of a WebSocket whose server stops (RFC 6455, section 7.4.1).
	goingAway = 1001
)

// Streams are clients that keep a connection open, and connect again when it ends.
type Streams struct {
	// Address is the server's, host and port.
	Address string
	// Events is how many read server-sent events at /events, WebSockets how many
	// are at /socket.
	Events, WebSockets int
}

// Stream is one connection of such a client.
type Stream struct {
	// Kind is "events" or "websocket".
	Kind         string
	Began, Ended time.Time
	// Clean is set if the server ended it as its protocol says: with the last chunk,
	// or with a close frame that says that it goes away. Fault says what it was else.
	Clean bool
	Fault string
	// Got counts the events or messages, and By is what they said, the last of them.
	Got int
	By  string
	// Missing are events that the client did not get: numbers that it lacks between
	// two that it has got, of this connection or of the one before.
	Missing []int
}

// Run has the clients read until ctx ends. Connections that were open then are not
// in the result.
func (s Streams) Run(ctx context.Context) []Stream {
	var mu sync.Mutex
	var all []Stream
	var running sync.WaitGroup
	client := func(read func(context.Context) Stream) {
		running.Go(func() {
			for pass(ctx, againAfter) {
				one := read(ctx)
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				all = append(all, one)
				mu.Unlock()
			}
		})
	}
	for range s.Events {
		reader := &eventReader{address: s.Address}
		client(reader.read)
	}
	for range s.WebSockets {
		client(func(ctx context.Context) Stream { return readWebSocket(ctx, s.Address) })
	}
	running.Wait()
	return all
}

// open sends a GET request with some headers, and returns its answer. The
// connection is closed when ctx ends.
func open(ctx context.Context, address, path string, headers ...string) (net.Conn, *bufio.Reader, *http.Response, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: test\r\n", path)
	for i := 0; i+1 < len(headers); i += 2 {
		request += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	read := bufio.NewReader(conn)
	_, err = io.WriteString(conn, request+"\r\n")
	var response *http.Response
	if err == nil {
		response, err = http.ReadResponse(read, nil)
	}
	if err != nil {
		_ = conn.Close() // the other error counts
	}
	return conn, read, response, err
}

// eventReader is a client of server-sent events, which knows the last that it has.
type eventReader struct {
	address string
	last    int
}

func (r *eventReader) read(ctx context.Context) (s Stream) {
	s = Stream{Kind: "events", Began: time.Now()}
	defer func() { s.Ended = time.Now() }()
	headers := []string{"Accept", "text/event-stream"}
	if r.last != 0 {
		headers = append(headers, "Last-Event-ID", strconv.Itoa(r.last))
	}
	conn, _, response, err := open(ctx, r.address, "/events", headers...) //nolint:bodyclose // the connection is closed
	if err != nil {
		s.Fault = err.Error()
		return s
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	if response.StatusCode != http.StatusOK {
		s.Fault = response.Status
		return s
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if by, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			s.By = by
		}
		number, ok := strings.CutPrefix(lines.Text(), "id: ")
		if !ok {
			continue
		}
		id, err := strconv.Atoi(number)
		if err != nil {
			s.Fault = err.Error()
			return s
		}
		for missing := r.last + 1; r.last != 0 && missing < id; missing++ {
			s.Missing = append(s.Missing, missing)
		}
		s.Got++
		r.last = id
	}
	if err := lines.Err(); err != nil {
		s.Fault = err.Error()
	}
	s.Clean = s.Fault == ""
	return s
}

// readWebSocket reads messages until the server closes, and agrees to that.
func readWebSocket(ctx context.Context, address string) (s Stream) {
	s = Stream{Kind: "websocket", Began: time.Now()}
	defer func() { s.Ended = time.Now() }()
	key := base64.StdEncoding.EncodeToString(make([]byte, 16))
	conn, read, response, err := open(ctx, address, "/socket", //nolint:bodyclose // likewise
		"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", key)
	if err != nil {
		s.Fault = err.Error()
		return s
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	if response.StatusCode != http.StatusSwitchingProtocols {
		s.Fault = response.Status
		return s
	}
	for {
		kind, text, err := readFrame(read)
		switch {
		case err != nil:
			s.Fault = "ended without a close frame: " + err.Error()
			return s
		case kind == closeFrame:
			if len(text) < 2 || binary.BigEndian.Uint16(text) != goingAway {
				s.Fault = fmt.Sprintf("closed with %q", text)
				return s
			}
			// An empty close frame, masked with zeros as a client's has to be; then the server ends.
			_, err := conn.Write([]byte{0x80 | closeFrame, 0x80, 0, 0, 0, 0})
			if err == nil {
				if _, err = read.ReadByte(); errors.Is(err, io.EOF) {
					err = nil
				} else if err == nil {
					err = errors.New("the server went on after its close frame")
				}
			}
			if err != nil {
				s.Fault = err.Error()
			}
			s.Clean = err == nil
			return s
		default:
			s.Got++
			s.By = string(text)
		}
	}
}

const closeFrame = 8

// readFrame reads a short frame of a server, which is not masked.
func readFrame(read io.Reader) (kind byte, text []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(read, head[:]); err != nil {
		return 0, nil, err
	}
	text = make([]byte, head[1]&0x7f)
	_, err = io.ReadFull(read, text)
	return head[0] & 0x0f, text, err
}
