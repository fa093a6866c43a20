// The Java driver: schema metadata, prepared statements, pages, batches, types, tracing, schema events.
import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.config.DefaultDriverOption;
import com.datastax.oss.driver.api.core.config.DriverConfigLoader;
import com.datastax.oss.driver.api.core.cql.*;
import com.datastax.oss.driver.api.core.data.CqlDuration;
import com.datastax.oss.driver.api.core.servererrors.InvalidQueryException;
import com.datastax.oss.driver.api.core.uuid.Uuids;
import java.math.*;
import java.net.*;
import java.nio.ByteBuffer;
import java.time.*;
import java.util.*;

public class Cassandra {
    static void check(boolean ok, Object what) {
        if (!ok) throw new AssertionError(what);
    }

    static CqlSession connect(String[] args, String version, String compression) {
        var options = DriverConfigLoader.programmaticBuilder().withDuration(DefaultDriverOption.REQUEST_TIMEOUT, Duration.ofSeconds(30))
            .withDuration(DefaultDriverOption.CONNECTION_INIT_QUERY_TIMEOUT, Duration.ofSeconds(30))
            .withString(DefaultDriverOption.PROTOCOL_COMPRESSION, compression);
        if (version != null) options = options.withString(DefaultDriverOption.PROTOCOL_VERSION, version);
        return CqlSession.builder().addContactPoint(new InetSocketAddress(args[0], Integer.parseInt(args[1]))).withLocalDatacenter("datacenter1")
            .withConfigLoader(options.build()).build();
    }

    static void types(CqlSession s) throws Exception {
        s.execute("CREATE TABLE java.types (k int PRIMARY KEY, b bigint, bl blob, bo boolean, da date, de decimal, d double, du duration, f float, i inet, "
            + "s smallint, t text, ti time, ts timestamp, tn tinyint, tu timeuuid, u uuid, vi varint)");
        Object[] v = {1, Long.MIN_VALUE, ByteBuffer.wrap(new byte[] {0, -1}), true, LocalDate.of(1969, 12, 31), new BigDecimal("-12.340"), -1.5,
            CqlDuration.from("1mo2d3h"), 0.25f, InetAddress.getByName("::1"), (short) -3, "t\u00e9\u2713", LocalTime.of(13, 14, 15, 1),
            Instant.ofEpochMilli(1441110896789L), (byte) -128, Uuids.timeBased(), UUID.randomUUID(), BigInteger.ONE.shiftLeft(100).negate()};
        String names = "k, b, bl, bo, da, de, d, du, f, i, s, t, ti, ts, tn, tu, u, vi";
        s.execute(s.prepare("INSERT INTO java.types (" + names + ") VALUES (?" + ", ?".repeat(v.length - 1) + ")").bind(v));
        Row row = s.execute("SELECT " + names + " FROM java.types WHERE k = 1").one();
        for (int i = 0; i < v.length; i++) check(v[i].equals(row.getObject(i)), v[i] + " " + row.getObject(i));
    }

    static void run(String[] args, String wanted, String version, String compression) throws Exception {
        try (CqlSession s = connect(args, wanted, compression); CqlSession other = connect(args, wanted, compression)) {
            check(s.getContext().getProtocolVersion().name().equals(version), s.getContext().getProtocolVersion());
            s.execute("DROP KEYSPACE IF EXISTS java");
            s.execute("CREATE KEYSPACE java WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
            s.execute("CREATE TABLE java.event (id int, at int, name text, PRIMARY KEY (id, at))");
            var table = s.getMetadata().getKeyspace("java").get().getTable("event").get();
            check(table.getPrimaryKey().size() == 2 && table.getColumns().size() == 3, table);
            var tokens = s.getMetadata().getTokenMap().get();
            for (var range : tokens.getTokenRanges()) check(tokens.getReplicas("java", range).size() == 1, range + " has no replica");
            PreparedStatement insert = s.prepare("INSERT INTO java.event (id, at, name) VALUES (?, ?, ?)");
            for (int i = 0; i < 200; i++) s.execute(insert.bind(i % 4, i, "" + i));
            int rows = 0;
            for (Row row : s.execute(SimpleStatement.newInstance("SELECT * FROM java.event").setPageSize(9))) {
                check(row.getInt("id") == row.getInt("at") % 4, row);
                rows++;
            }
            check(rows == 200, rows);
            s.execute(BatchStatement.newInstance(DefaultBatchType.LOGGED, insert.bind(9, 1, "one"), insert.bind(9, 2, "two"),
                SimpleStatement.newInstance("DELETE FROM java.event WHERE id = 0")));
            check(s.execute("SELECT count(*) FROM java.event").one().getLong(0) == 152, "batch");
            PreparedStatement all = s.prepare("SELECT * FROM java.event WHERE id = 9 AND at = 1");
            check(s.execute(all.bind()).one().getColumnDefinitions().size() == 3, "columns");
            s.execute("ALTER TABLE java.event ADD note text");
            s.execute("UPDATE java.event SET note = 'n' WHERE id = 9 AND at = 1");
            check("n".equals(s.execute(all.bind()).one().getString("note")), "after ALTER");
            for (long end = System.nanoTime() + 120_000_000_000L;
                other.getMetadata().getKeyspace("java").flatMap(k -> k.getTable("event")).flatMap(t -> t.getColumn("note")).isEmpty();) {
                check(System.nanoTime() < end, "the event did not reach the other session");
                Thread.sleep(50);
            }
            String big = "x".repeat(400000);
            s.execute(insert.bind(10, 1, big));
            check(big.equals(s.execute("SELECT name FROM java.event WHERE id = 10").one().getString(0)), "a large value");
            try {
                s.execute("SELECT nope FROM java.event");
                check(false, "was not refused");
            } catch (InvalidQueryException e) {
                check(e.getMessage().contains("Undefined column name nope in table java.event"), e);
            }
            if (!version.equals("V3")) types(s); // it knows fewer
            s.execute("DROP KEYSPACE java");
        }
    }

    public static void main(String[] args) throws Exception {
        run(args, null, "V5", "none");
        run(args, "V5", "V5", "lz4");
        run(args, "V4", "V4", "lz4");
        run(args, "V3", "V3", "none");
        System.out.println("the Java driver is content");
        System.exit(0);
    }
}
