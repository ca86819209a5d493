package dbreplication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/dbserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/mariadb"
)

// Units starts, stops and watches the unit of a database server; see [systemd.Manager].
type Units interface {
	Status(ctx context.Context, unit string) (systemd.Status, error)
	Start(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
}

// Database is the database server of a member, on this machine.
type Database struct {
	Engine replication.Engine
	// Unit is the name of its unit.
	Unit string
	// TLS has the paths of what its connections to a source use.
	TLS replication.Source
	// Close ends the engine's connections.
	Close func()
}

// close ends the connections of a database that was opened for a short time.
func (d *Database) close() {
	if d != nil && d.Close != nil {
		d.Close()
	}
}

// MariaDBs returns the names of the database servers that have data on this machine.
func MariaDBs() []string {
	found, _ := filepath.Glob(dbserver.PathsOf("*").Data) // fails for a bad pattern only
	names := make([]string, 0, len(found))
	for _, data := range found {
		names = append(names, filepath.Base(filepath.Dir(data)))
	}
	return names
}

// serverAccount is the operating system's user that the server runs as.
const serverAccount = "mysql"

// OpenMariaDB returns the function that finds the MariaDB of a db-server's name.
func OpenMariaDB(units Units, now func() time.Time) func(server string) (Database, error) {
	return func(server string) (Database, error) {
		paths := dbserver.PathsOf(server)
		engine, err := mariadb.New(mariadb.Config{
			Socket: paths.Socket, DataDir: paths.Data, Owner: serverAccount,
			Server: unitServer{units: units, unit: paths.Unit}, Now: now,
		})
		if err != nil {
			return Database{}, err
		}
		return Database{
			Engine: engine, Unit: paths.Unit, Close: engine.Close,
			TLS: replication.Source{CA: paths.CA, Certificate: paths.Certificate, Key: paths.Key},
		}, nil
	}
}

// unitServer starts and stops a server for a seed, which changes the data
// directory in between.
type unitServer struct {
	units Units
	unit  string
}

// Start starts the server on the data that are in place now. One that runs
// already may have been started, by whoever, on those that were there before.
func (s unitServer) Start(ctx context.Context) error {
	if err := s.Stop(ctx); err != nil {
		return err
	}
	return s.units.Start(ctx, s.unit)
}

// Stop ends the server.
func (s unitServer) Stop(ctx context.Context) error { return s.units.Stop(ctx, s.unit) }

// gate is the engine as all but the keeper see it. Nobody opens the database
// but through it, and it opens only by the boot rule.
type gate struct {
	replication.Engine
	part *part
}

// Unfence opens the database if a majority supports that, for which it asks
// until openPatience is over.
func (g *gate) Unfence(ctx context.Context) error {
	began := g.part.clock.Now()
	for {
		verdict, err := g.part.open(ctx)
		if err != nil {
			return err
		}
		if verdict.Open {
			return nil
		}
		if g.part.clock.Now().Sub(began) >= openPatience || g.part.clock.Sleep(ctx, reconcileEvery) != nil {
			return errors.New(verdict.String())
		}
	}
}

// Fence fences, and has the keeper not open what somebody fenced on purpose.
func (g *gate) Fence(ctx context.Context) error {
	noted := g.part.note(ctx, func(l *life) { l.Decided, l.Opened = true, false })
	return errors.Join(g.Engine.Fence(ctx), noted)
}

// Receive counts what arrives from the beginning.
func (g *gate) Receive(ctx context.Context, donor replication.NodeID, from io.Reader, progress func(int64)) error {
	g.part.receives(donor)
	defer g.part.receives("")
	return g.Engine.Receive(ctx, donor, from, progress)
}

// SeedState tells how much has arrived, too.
func (g *gate) SeedState() (*replication.SeedMark, error) {
	mark, err := g.Engine.SeedState()
	if mark != nil {
		mark.Bytes = g.part.arrived.Load()
	}
	if err != nil {
		return nil, fmt.Errorf("look for a seed under way: %w", err)
	}
	return mark, nil
}

// Unknown asks the database server of a name for what it does not know of a
// catalog. The replication need not exist yet.
func (n *Node) Unknown(ctx context.Context, server string, catalog replication.Catalog) (unknown map[string]replication.UnknownNames, err error) {
	db, err := n.Open(server)
	if err != nil {
		return nil, err
	}
	defer db.close()
	lexicon, ok := db.Engine.(replication.Lexicon)
	if !ok {
		return nil, nil //nolint:nilnil // an engine that knows all names knows these
	}
	ctx, cancel := context.WithTimeout(ctx, replication.ObserveTimeout)
	defer cancel()
	return lexicon.Unknown(ctx, catalog.Databases)
}
