package loadtest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Load is what many clients send to one server.
type Load struct {
	// Address is the server's, host and port.
	Address string
	// Name begins the id of each request.
	Name string
	// Methods are what they send; nil is GET and POST.
	Methods []string
	// Clients is how many there are: as many with each method, and as many on a
	// connection that is kept as on a fresh one for each request. With Fresh, none
	// keeps its connection.
	Clients int
	Fresh   bool
	// Pause is how long each waits before its next request.
	Pause time.Duration
	// Rate, in requests a second, has each request come from a client of its own
	// on a connection of its own, whether or not those before it were answered.
	// Clients and Pause do not count then.
	Rate float64
}

// bodySizes are those of POSTs, in bytes: what a load balancer can keep and send again.
func bodySizes() []int { return []int{0, 2500, 5000, 7500, 10000} }

// Run sends requests until ctx ends, and waits for the last answers: no request is
// broken off.
func (l Load) Run(ctx context.Context) []Sent {
	if l.Rate > 0 {
		return l.offer(ctx)
	}
	var all results
	for i := range l.Clients {
		all.running.Go(func() {
			c := &Client{Address: l.Address, Close: l.Fresh || i%4 >= 2}
			defer c.Drop()
			for n := 0; pass(ctx, l.Pause); n++ {
				all.add(l.send(context.WithoutCancel(ctx), c, i, fmt.Sprintf("%d-%d", i, n)))
			}
		})
	}
	return all.wait()
}

// offer sends requests at a rate, whatever becomes of them. Those that are late are
// sent at once.
func (l Load) offer(ctx context.Context) []Sent {
	var all results
	began, sent := time.Now(), 0
	for pass(ctx, time.Millisecond) {
		due := int(time.Since(began).Seconds() * l.Rate)
		for n := sent; n < due; n++ {
			all.running.Go(func() {
				all.add(l.send(context.WithoutCancel(ctx), &Client{Address: l.Address, Close: true}, n, fmt.Sprint(n)))
			})
		}
		sent = due
	}
	return all.wait()
}

// send sends a request of a client.
func (l Load) send(ctx context.Context, c *Client, client int, serial string) Sent {
	methods, sizes := l.Methods, bodySizes()
	if methods == nil {
		methods = []string{http.MethodGet, http.MethodPost}
	}
	method := methods[client%len(methods)]
	return c.Send(ctx, method, "/", fmt.Sprintf("%s-%s-%s", l.Name, method, serial), make([]byte, sizes[client%len(sizes)]))
}

// pass waits, and reports whether the load goes on.
func pass(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// results are what clients got.
type results struct {
	running sync.WaitGroup
	mu      sync.Mutex
	all     []Sent
}

func (r *results) add(s Sent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, s)
}

func (r *results) wait() []Sent {
	r.running.Wait()
	return r.all
}
