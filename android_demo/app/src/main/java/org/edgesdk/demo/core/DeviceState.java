package org.edgesdk.demo.core;

/** What a device says of itself; NaN or null is unknown. Units as edge_sdk/device.py has them. */
public final class DeviceState {
    private static final double MOST_ENERGY_MJ = 3.6e9;
    private static final double MOST_POWER_MW = 1e6;
    private static final double MOST_HEADROOM = 10;

    public final double batteryPct;
    public final Boolean charging;
    public final double energyLeftMj;

    /** Out of the battery; negative while it charges. */
    public final double batteryPowerMw;

    /** 1.0 is where severe throttling begins. */
    public final double thermalHeadroom;
    public final Boolean throttled;
    public final Boolean powerSaver;
    public final double freeRamMb;
    public final double residentMb;
    public final double peakMb;

    public DeviceState(double batteryPct, Boolean charging, double energyLeftMj,
                       double batteryPowerMw, double thermalHeadroom, Boolean throttled,
                       Boolean powerSaver, double freeRamMb, double residentMb, double peakMb) {
        this.batteryPct = within(batteryPct, 0, 100);
        this.charging = charging;
        this.energyLeftMj = energyLeftMj;
        this.batteryPowerMw = batteryPowerMw;
        this.thermalHeadroom = thermalHeadroom;
        this.throttled = throttled;
        this.powerSaver = powerSaver;
        this.freeRamMb = freeRamMb;
        this.residentMb = residentMb;
        this.peakMb = peakMb;
    }

    /** Nothing is known. */
    public static DeviceState unknown() {
        double nan = Double.NaN;
        return new DeviceState(nan, null, nan, nan, nan, null, null, nan, nan, nan);
    }

    /** The number, or NaN where a driver can not be right: above 1 kWh. */
    public static double plausibleEnergyMj(double mj) {
        return within(mj, 0, MOST_ENERGY_MJ);
    }

    /** The number, or NaN above 1 kW. */
    public static double plausiblePowerMw(double mw) {
        return within(mw, -MOST_POWER_MW, MOST_POWER_MW);
    }

    /** The number, or NaN where it is no share. */
    public static double plausibleHeadroom(double headroom) {
        return within(headroom, 0, MOST_HEADROOM);
    }

    private static double within(double value, double least, double most) {
        return value >= least && value <= most ? value : Double.NaN;
    }
}
