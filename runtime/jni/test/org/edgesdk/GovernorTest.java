package org.edgesdk;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Calendar;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.Test;

public final class GovernorTest {
    private static final String[] LIMITS = {"latency_ms", "energy_mj", "memory_mb", "risk",
        "min_accuracy", "battery_floor_pct", "last_until_s"};

    private static double[] numbers(String text) {
        String[] parts = text.trim().split(" +");
        double[] numbers = new double[parts.length];
        for (int i = 0; i < parts.length; i++) {
            numbers[i] = parts[i].equals("-") ? -1 : parts[i].equals("nan") ? Double.NaN
                    : parts[i].equals("inf") ? Double.POSITIVE_INFINITY
                    : parts[i].equals("-inf") ? Double.NEGATIVE_INFINITY
                    : Double.parseDouble(parts[i]);
        }
        return numbers;
    }

    private static Boolean flag(double value) {
        return value == 0 || value == 1 ? (Boolean) (value == 1) : null; // others count as unknown
    }

    private static void same(String line, double wanted, double found) {
        assertEquals(line, Double.doubleToLongBits(wanted + 0.0), // of NaN one pattern
                Double.doubleToLongBits(found + 0.0));
    }

    private static Choice choice(double[] row) {
        return new Choice("c", row[0], row[1], row[2], row[3], row[4], row[5], null, 1, "");
    }

    private static Signals signals(double[] told) {
        Signals signals = new Signals();
        signals.nowS = told[7];
        signals.batteryPct = told[8];
        signals.energyLeftMj = told[9];
        signals.batteryPowerMw = told[10];
        signals.thermalHeadroom = told[11];
        signals.freeRamMb = told[12];
        signals.rateHz = told[13];
        signals.charging = flag(told[14]);
        signals.throttled = flag(told[15]);
        signals.powerSaver = flag(told[16]);
        return signals;
    }

    private static void checkDecision(String line, double[] wanted, Decision found) {
        double[] answer = {found.index(), found.missedMask, found.whyCode, found.betterIndex,
            found.betterMissed, found.unpaced ? 1 : 0, found.switched() ? 1 : 0,
            found.predictedP95Ms(), found.slowdown(), found.allowedMj(), found.waitS()};
        assertEquals(line, wanted.length, answer.length);
        for (int i = 0; i < wanted.length; i++) {
            same(line, wanted[i], answer[i]);
        }
        assertEquals(found.missedMask == 0, found.met());
    }

    @Test
    public void decisionsAreThoseOfTheVectorsToTheBit() throws Exception {
        List<Choice> choices = new ArrayList<>();
        Governor governor = null;
        int decisions = 0;
        for (String line : Vectors.lines(new java.io.File(Vectors.vectors(),
                "governor_events.txt"))) {
            String[] words = line.split(" ", 2);
            if (words[0].equals("start")) {
                choices.clear();
                governor = null;
                continue;
            }
            if (words[0].equals("choice")) {
                choices.add(choice(numbers(words[1])));
                continue;
            }
            governor = governor == null ? new Governor(choices) : governor;
            if (words[0].equals("observe")) {
                double[] seen = numbers(words[1]);
                governor.observe((int) seen[0], seen[1], seen[2], seen[3]);
            } else {
                String[] sides = words[1].split(" -> ");
                double[] told = numbers(sides[0]);
                checkDecision(line, numbers(sides[1]), governor.decide(Budget.none(),
                        Arrays.copyOf(told, 7), signals(told)));
                decisions++;
            }
        }
        assertTrue(decisions > 200);
    }

    private static double known(Map<String, Object> from, String name) {
        return Json.known(Json.member(from, name, "log"), "log");
    }

    private static Boolean truth(Map<String, Object> from, String name) {
        Object value = from.get(name);
        return value == null ? null : (Boolean) Json.truth(value, "log");
    }

    private static Governor restart(Map<String, Object> head, Appendable log) {
        List<Choice> choices = new ArrayList<>();
        for (Object entry : Json.list(head.get("choices"), "log")) {
            Map<String, Object> row = Json.object(entry, "log");
            choices.add(new Choice((String) row.get("granularity"), known(row, "latency_p50_ms"),
                    known(row, "latency_p95_ms"), known(row, "energy_mj"), known(row, "accuracy"),
                    known(row, "risk"), known(row, "ram_mb"), (String) row.get("plan"),
                    Json.small(row.get("threads"), "log"), (String) row.get("name")));
        }
        return new Governor(choices, log);
    }

    private static Signals state(Map<String, Object> told) {
        Signals signals = new Signals();
        signals.nowS = known(told, "now_s");
        signals.batteryPct = known(told, "battery_pct");
        signals.energyLeftMj = known(told, "energy_left_mj");
        signals.batteryPowerMw = known(told, "battery_power_mw");
        signals.thermalHeadroom = known(told, "thermal_headroom");
        signals.freeRamMb = known(told, "free_ram_mb");
        signals.rateHz = known(told, "rate_hz");
        signals.charging = truth(told, "charging");
        signals.throttled = truth(told, "throttled");
        signals.powerSaver = truth(told, "power_saver");
        return signals;
    }

    private static void checkLogged(Map<String, Object> logged, Decision found) {
        for (Map.Entry<String, Object> entry : found.toJson().entrySet()) {
            Object wanted = logged.get(entry.getKey());
            assertTrue(entry.getKey(), logged.containsKey(entry.getKey()));
            Object now = entry.getValue();
            if (now instanceof Double) {
                same(entry.getKey(), Json.known(wanted, "log"), (Double) now);
            } else {
                assertEquals(entry.getKey(), String.valueOf(wanted), String.valueOf(now));
            }
        }
    }

    /** Python's log, decided again; what Java logs meanwhile, Python decides again. */
    @Test
    public void aLogOfPythonIsDecidedAlikeAndInTheSameWords() throws Exception {
        List<String> lines = Vectors.lines(Vectors.made("governor/log.jsonl"));
        List<String> reasons = Vectors.lines(Vectors.made("governor/reasons.txt"));
        List<Object> budgets = Json.list(Json.parse(
                Vectors.text(Vectors.made("governor/budgets.json")), "budgets"), "budgets");
        StringBuilder log = new StringBuilder();
        Governor governor = restart(Json.object(Json.parse(lines.get(0), "log"), "log"), log);
        List<Budget> made = new ArrayList<>();
        for (Object budget : budgets) {
            made.add(budget(Json.object(budget, "budget")));
        }
        int decisions = 0;
        for (String line : lines.subList(1, lines.size())) {
            Map<String, Object> event = Json.object(Json.parse(line, "log"), "log");
            if (event.containsKey("observe")) {
                Map<String, Object> seen = Json.object(event.get("observe"), "log");
                governor.observe(Json.small(seen.get("choice"), "log"), known(seen, "latency_ms"),
                        known(seen, "energy_mj"), known(seen, "now_s"));
                continue;
            }
            Map<String, Object> told = Json.object(event.get("decide"), "log");
            Decision found = governor.decide(made.get(decisions / 10 % made.size()), state(told));
            checkLogged(Json.object(event.get("decision"), "log"), found);
            assertEquals(reasons.get(decisions), found.reason());
            decisions++;
        }
        assertEquals(reasons.size(), decisions);
        Vectors.write(Vectors.out("java_governor.jsonl"), log.toString().getBytes("UTF-8"));
        checkTold(lines, Arrays.asList(log.toString().split("\n")));
    }

    /** All that Java was told, limits of battery policies too, is what Python was told. */
    private static void checkTold(List<String> python, List<String> java) {
        assertEquals(python.size(), java.size());
        for (int i = 1; i < python.size(); i++) {
            Map<String, Object> ours = Json.object(Json.parse(java.get(i), "log"), "log");
            Map<String, Object> theirs = Json.object(Json.parse(python.get(i), "log"), "log");
            assertEquals(theirs.keySet(), ours.keySet());
            if (ours.containsKey("decide")) {
                Map<String, Object> told = Json.object(ours.get("decide"), "log");
                Map<String, Object> wanted = Json.object(theirs.get("decide"), "log");
                assertEquals(wanted.keySet(), told.keySet());
                for (String limit : LIMITS) {
                    same(limit, known(wanted, limit), known(told, limit));
                }
            }
        }
    }

    private static Budget budget(Map<String, Object> stored) {
        Budget budget = Budget.none();
        for (Map.Entry<String, Object> entry : stored.entrySet()) {
            Object value = entry.getValue();
            switch (entry.getKey()) {
                case "latency_ms":
                    budget = budget.withLatencyMs(Json.number(value, ""));
                    break;
                case "energy_mj":
                    budget = budget.withEnergyMj(Json.number(value, ""));
                    break;
                case "memory_mb":
                    budget = budget.withMemoryMb(Json.number(value, ""));
                    break;
                case "risk":
                    budget = budget.withRisk(Json.number(value, ""));
                    break;
                case "min_accuracy":
                    budget = budget.withMinAccuracy(Json.number(value, ""));
                    break;
                default:
                    budget = budget.withBattery((String) value);
            }
        }
        return budget;
    }

    private static List<Choice> two() {
        return Arrays.asList(new Choice("S", 5, 6).withAccuracy(0.8),
                new Choice("M", 9, 10).withAccuracy(0.9));
    }

    @Test
    public void aBudgetNothingCanMeetRunsTheFastestOrThrowsWhereThatIsAskedFor() {
        Governor governor = new Governor(two());
        Budget budget = Budget.none().withLatencyMs(1);
        Decision decision = governor.decide(budget, null);
        assertFalse(decision.met());
        assertEquals("S", decision.choice().name);
        assertEquals(Collections.singletonList("latency"), decision.missed());
        assertEquals("missed", decision.why());
        assertThrows(BudgetException.class, () -> governor.decideStrictly(budget, null));
        assertEquals("M", governor.decideStrictly(Budget.none(), Signals.now()).choice().name);
    }

    @Test
    public void aTimeOfDayIsTheNextOneOnTheLocalClock() {
        Calendar now = Calendar.getInstance();
        now.set(2025, Calendar.JUNE, 10, 17, 0, 0);
        now.set(Calendar.MILLISECOND, 0);
        final long ms = now.getTimeInMillis();
        assertEquals(ms + 3600_000, Budget.none().withBattery("last until 18:00").endsMs(ms));
        assertEquals(ms + 24 * 3600_000, Budget.none().withBattery("Last until 17:00").endsMs(ms));
        assertEquals(-1, Budget.none().withBattery("last 6 h").endsMs(ms));
        StringBuilder log = new StringBuilder();
        Governor governor = new Governor(two(), log, () -> ms);
        Signals signals = new Signals();
        signals.nowS = 50;
        governor.decide(Budget.none().withBattery("last until 18:30"), signals);
        assertTrue(log.toString(), log.toString().contains("\"last_until_s\":5450.0"));
    }

    /** As after a suspend, in which the one clock stands still and the other does not. */
    @Test
    public void aTimeOfDayIsLookedUpAgainAfterAMinute() {
        final long[] ms = {1_750_000_000_000L};
        Calendar end = Calendar.getInstance();
        end.setTimeInMillis(ms[0] + 3 * 3600_000);
        Budget budget = Budget.none().withBattery(String.format("last until %02d:%02d",
                end.get(Calendar.HOUR_OF_DAY), end.get(Calendar.MINUTE)));
        StringBuilder log = new StringBuilder();
        Governor governor = new Governor(two(), log, () -> ms[0]);
        double left = (budget.endsMs(ms[0]) - ms[0]) / 1e3;
        double[][] steps = {{50, 0, 50 + left}, {109, 600, 50 + left}, {110, 600, left - 490},
            {169.5, 900, left - 490}, {170, 900, left - 730}};
        for (double[] step : steps) {
            ms[0] = 1_750_000_000_000L + (long) (step[1] * 1000);
            Signals signals = new Signals();
            signals.nowS = step[0];
            log.setLength(0);
            governor.decide(budget, signals);
            Map<String, Object> told = Json.object(Json.object(
                    Json.parse(log.toString(), "log"), "log").get("decide"), "log");
            assertEquals(step[2], known(told, "last_until_s"), 1e-6);
        }
    }

    @Test
    public void budgetsThatAreNoneAreRefused() {
        for (String policy : new String[] {"", "last", "last until 24:00", "last until 1:60",
            "last 0 h", "last 9000 h", "101 %", "-1 %", "20 percent", "last 6 days"}) {
            BudgetException error = assertThrows(policy, BudgetException.class,
                    () -> Budget.none().withBattery(policy));
            assertEquals("`battery`", error.where());
        }
        for (double wrong : new double[] {0, -1, Double.POSITIVE_INFINITY}) {
            assertThrows(BudgetException.class, () -> Budget.none().withLatencyMs(wrong));
            assertThrows(BudgetException.class, () -> Budget.none().withEnergyMj(wrong));
            assertThrows(BudgetException.class, () -> Budget.none().withMemoryMb(wrong));
        }
        assertThrows(BudgetException.class, () -> Budget.none().withRisk(1.5));
        assertThrows(BudgetException.class, () -> Budget.none().withMinAccuracy(-0.1));
        assertEquals(20, Budget.none().withBattery(" 20% ").floorPct, 0);
        assertEquals(5400, Budget.none().withBattery("last 1.5 h").forS, 0);
    }

    @Test
    public void choicesThatAreNoneAreRefused() {
        assertThrows(ShapeException.class, () -> new Choice("S", 0, 1));
        assertThrows(ShapeException.class, () -> new Choice("S", 2, 1));
        assertThrows(ShapeException.class, () -> new Choice("S", 1, Double.NaN));
        assertThrows(ShapeException.class, () -> new Choice("S", 1, Double.POSITIVE_INFINITY));
        assertThrows(ShapeException.class, () -> new Choice(null, 1, 1));
        assertThrows(ShapeException.class, () -> new Choice("S", 1, 1, 0, 0, 0, 0, null, 0, ""));
        assertThrows(ShapeException.class, () -> new Governor(null));
        assertThrows(ShapeException.class, () -> new Governor(Collections.<Choice>emptyList()));
        assertThrows(ShapeException.class,
                () -> new Governor(Collections.<Choice>singletonList(null)));
        assertThrows(ShapeException.class,
                () -> new Governor(Collections.nCopies(33, new Choice("S", 1, 1))));
        assertEquals("S plan 2 threads",
                new Choice("S", 1, 1, 0, 0, 0, 0, "plan", 2, "").toString());
    }

    @Test
    public void nonsenseIsRefusedOrIgnoredAndAClosedGovernorThrows() {
        Governor governor = new Governor(two());
        assertThrows(ShapeException.class, () -> governor.decide(null, null));
        assertThrows(ShapeException.class, () -> governor.observe(2, 1, 1, 1));
        assertThrows(ShapeException.class, () -> governor.observe(-1, 1, 1, 1));
        assertThrows(ShapeException.class, () -> governor.observe(null, 1));
        governor.observe(0, Double.NaN, Double.NaN, Double.NaN);
        governor.observe(0, -5, Double.NEGATIVE_INFINITY, 1);
        Signals nothing = new Signals();
        assertEquals("M", governor.decide(Budget.none(), nothing).choice().granularity);
        governor.close();
        governor.close();
        assertThrows(ClosedException.class, () -> governor.decide(Budget.none(), null));
        assertThrows(ClosedException.class, () -> governor.observe(0, 1, 1, 1));
    }

    @Test
    public void aLogThatCanNotBeWrittenIsAnOutputException() {
        Appendable full = new Appendable() {
            @Override
            public Appendable append(CharSequence text) throws IOException {
                throw new IOException("No space left on device");
            }

            @Override
            public Appendable append(CharSequence text, int begin, int end) throws IOException {
                throw new IOException("No space left on device");
            }

            @Override
            public Appendable append(char c) throws IOException {
                throw new IOException("No space left on device");
            }
        };
        OutputException error = assertThrows(OutputException.class,
                () -> new Governor(two(), full));
        assertEquals("No space left on device", error.got());
    }

    @Test
    public void numbersAreWrittenAsPythonWritesThem() {
        assertEquals("0.1", Words.fixed(0.05000000000000001, 1));
        assertEquals("0.1", Words.fixed(0.15, 1)); // 0.15 lies below 15 hundredths
        assertEquals("2", Words.fixed(2.5, 0));
        assertEquals("20", Words.general(20, 6));
        assertEquals("1.23457e+07", Words.general(12345678, 6));
        assertEquals("1.234e-05", Words.general(0.00001234, 6));
        assertEquals("0.0001", Words.general(0.0001, 6));
        assertEquals("1e+06", Words.general(999999.9, 6));
        assertEquals("1e+100", Words.general(1e100, 6));
        assertEquals("33.3333", Words.general(33.3333333, 6));
        assertEquals("1.42e+03", Words.general(1424.9, 3));
        assertEquals("0", Words.general(0, 3));
        assertEquals("nan", Words.general(Double.NaN, 3));
        assertEquals("inf", Words.fixed(Double.POSITIVE_INFINITY, 1));
    }
}
