package org.edgesdk;

/**
 * What the device says at this moment; NaN, or null, where unknown.
 *
 * <p>Nonsense (250 % of battery, negative energy) counts as unknown.
 */
public final class Signals {
    /** Any clock that does not go back, in seconds. */
    public double nowS = Double.NaN;
    /** Percent of the battery. */
    public double batteryPct = Double.NaN;
    /** Energy in the battery. */
    public double energyLeftMj = Double.NaN;
    /** Drain of the whole device. */
    public double batteryPowerMw = Double.NaN;
    /** 1 is where throttling begins, as Android has it. */
    public double thermalHeadroom = Double.NaN;
    /** Beside what the choice observed last takes. */
    public double freeRamMb = Double.NaN;
    /** Inferences a second to expect; if unknown, learnt from the decisions. */
    public double rateHz = Double.NaN;
    /** Whether the battery is being charged. */
    public Boolean charging;
    /** Whether the device slows itself down. */
    public Boolean throttled;
    /** Whether the user saves power. */
    public Boolean powerSaver;

    /** Makes signals of which nothing is known. */
    public Signals() {}

    /** Returns signals of which only the time is known, by System.nanoTime(). */
    public static Signals now() {
        Signals signals = new Signals();
        signals.nowS = System.nanoTime() * 1e-9;
        return signals;
    }
}
