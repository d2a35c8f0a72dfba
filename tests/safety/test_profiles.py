"""Profiles and their threads: forks, exits, threads, and nothing left behind."""

PROFILED = """
    WAT = '''(module (func $hot (export "spin") (param i32) (loop $again
        (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $again (local.get 0)))))'''
    engine = w.WasmEngine(w.WasmConfig(epoch_interruption=True))
    module = w.WasmModule(engine, WAT)

    def spinning():
        store = w.WasmStore(engine)
        return store, w.WasmInstance(store, module).exports.spin

    def spin_until(profile, spin, samples=3):
        while profile.samples < samples:
            spin(100_000)
"""


def test_profiles_leave_nothing_behind(script):
    script(
        PROFILED
        + """
    store, spin = spinning()
    def once():
        with store.profile("profile.json", interval=0.0001) as profile:
            spin_until(profile, spin, 2)
    for _ in range(50):
        once()
    def held():
        return resident(), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    before = held()
    for _ in range(300):
        once()
    gc.collect()
    after = held()
    check(f"{before} became {after}", after[0] - before[0] < 8 and after[1:] == before[1:])
    """
    )


def test_a_forked_child_may_go_on_and_end_the_profile(script):
    script(
        PROFILED
        + """
    store, spin = spinning()
    with store.profile("profile.json") as profile:
        spin_until(profile, spin)
        def child():
            spin(1000)
            profile.__exit__(None, None, None)
            own_store, own_spin = spinning()
            with own_store.profile("child.json") as own:
                spin_until(own, own_spin)
        in_child("profile", child)
        spin_until(profile, spin, profile.samples + 3)
    check("the parent's profile", os.path.getsize("profile.json") > 1000)
    check("the child's profile", os.path.getsize("child.json") > 1000)
    """
    )


def test_an_exit_inside_of_the_block_is_silent(script):
    for source in (
        "sys.exit(0)",
        "threading.Thread(target=spin, args=(2**31,), daemon=True).start(); time.sleep(0.05)",
    ):
        script(
            PROFILED
            + f"""
    store, spin = spinning()
    profile = store.profile("profile.json", interval=0.0001)
    profile.__enter__()
    spin_until(profile, spin)
    {source}
    """,
            finish=False,
        )


def test_stores_on_many_threads_with_profiles_and_deadlines(script):
    script(
        PROFILED
        + """
    def profiled(number):
        for turn in range(5):
            store, spin = spinning()
            with store.profile(f"{number}.json", interval=0.0002) as profile:
                spin_until(profile, spin)
    def bounded():
        for turn in range(200):
            store, spin = spinning()
            store.set_epoch_deadline(1)
            spin(20_000)  # no tick of the user's: it ends well
    threads = [threading.Thread(target=allowed, args=("profiled", profiled, n)) for n in range(4)]
    threads += [threading.Thread(target=lambda: check("deadline", allowed("bounded", bounded) is None)) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    """
    )


def test_a_profile_of_a_store_that_is_busy_elsewhere_is_refused(script):
    script(
        PROFILED
        + """
    store, spin = spinning()
    store.set_epoch_deadline(1)
    thread = threading.Thread(target=lambda: refused("spin", w.WasmTrap, spin, 0))
    thread.start()
    time.sleep(0.05)
    def profile():
        with store.profile("profile.json"):
            pass
    if thread.is_alive():
        refused("busy", w.StoreBusyError, profile)
    engine.increment_epoch()
    thread.join()
    with store.profile("profile.json"):
        pass
    """
    )


def test_nobody_makes_a_profile_of_his_own(script):
    script(
        """
class Grows(dict):
    asked = 0
    def __len__(self):
        self.asked += 1
        return 1000 * (self.asked > 1)
    def __bool__(self): return True
without, with_epochs = w.WasmEngine(), w.WasmEngine(w.WasmConfig(epoch_interruption=True))
for engine in (without, with_epochs):
    refused("made", TypeError, w.StoreProfile, w.WasmStore(engine), os.devnull, 0.001, Grows())
with w.WasmStore(with_epochs).profile(os.devnull, modules=Grows()):
    pass
"""
    )


def test_a_block_that_ends_while_another_thread_is_in_the_store(script):
    script(
        PROFILED
        + """
    import warnings
    warnings.simplefilter("error")
    sys.unraisablehook = lambda told: print("unraisable", told.exc_value)
    store, spin = spinning()
    profile = store.profile("profile.json", interval=0.001)
    profile.__enter__()
    thread = threading.Thread(target=lambda: refused("interrupted", w.WasmInterrupted, spin, 0))
    thread.start()
    while store._core.depth == 0:
        time.sleep(0.001)
    refused("leaving", w.StoreBusyError, profile.__exit__, None, None, None)
    while thread.is_alive():
        store.interrupt()
        thread.join(0.01)
    # It is running no more: there may be another, which the first does not disturb.
    with store.profile("second.json", interval=0.001) as second:
        profile.__exit__(None, None, None)
        spin_until(second, spin)
    check("first", os.path.getsize("profile.json") > 100)
    check("second", os.path.getsize("second.json") > 1000)
    del profile, second
    gc.collect()
    spin(100_000)
    """
    )
