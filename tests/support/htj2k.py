"""One HTJ2K codestream, since no package that decodes it here also writes it."""

import base64

# `drawing.picture(24, 20, bits=12)` in 16 bits, reversible, written by OpenJPH.
_CODED = (
    r"|4;u>04YEK0000K0000O00000000000000K0000O0000000000009pH0sl|{2mk^A000XAQUDA90ssL31q1{@0smY86Cj9?kdTm&kdTm&kdTmw"
    r"h=~7W02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00002P5=S_lfVEboACt)bO68r6F>kHKmZc}NBshabO0>!1BY|~RQv*mbO68r6TkoyzyK0}"
    r"HudQOi*x|ALni})bO0Cw2Xp|y02R;x1*rf4R)GCMIpihQ#zHUtIN_84d>L7l79aqqDq<mw0)pH!0Kb?3A-|ws%q{@q0C7gO0KfnjT>t=Gd;kG;"
    r"U}AV72)Hl&5-M_FT|;)54}_Hj3}7z7g$!D#Ac6n}C<y%#F{dO!#yJSUg`5C-JE7`eWkjx~!h?LQkPN6w#ji}@jt?vjFbhCOK+=F3yaW-X4R=N&"
    r"3&ubLodE2(W*8u20|x+z3S`q4kkJSQ&L98*K)@jo2p|9u>=QAo{AUmpWCA|C0Kfn*Uw{B#K|la6L*pX_<x?n7fUyJz-Ao4r4D{@V!2|(7UkqXK"
    r"u7;GzjS3Kuq8az9h!5?C00Bh{AOHYKC)7v(RL0vp)gUEzu+Jp4EU1il93s?c5;mC%|4Ny`7^p%5NQ4ZS^0S@+(F;(A0LciD3;==jA3)Urp9ZWC"
    r"1Pu_-V$zxdmXTi<HEn4C8U23|08Nv=h_8(JqV(yE1{fF^7<d5$03d(>1{h#~0R|Z0=l>^w5kMLs4$uJ(11v_NItkGE0L8J43PBKn1YJ0_&KCZx"
    r"W2m55IMtRRQA!2KjA%mxK#X8&mI9e1LI3~&7^9aiqnD1ci~w+qWqc_B#`w}P000000000005Agp`w$b8LlFaQs-Wld7xZj;WeG`)0(U|cpUdhz"
    r"0sq+"
)


def stream() -> bytes:
    return base64.b85decode(_CODED)
