"""What English looks like: which letters follow which, and its commonest words. Data only.

Counted over prose of three kinds in equal shares: answers about made-up people (TOFU), biographies and short stories
(LUME), and the Python language reference. Accents were taken off before.
"""

from __future__ import annotations

_COMMON_WORDS = """
a about all an and any are as at be been but by can could do for from had has have he her his how i if in into is
it its may more my new no not of on one only or other out said she so some such than that the their them then
there these they this time to two was we were what when which who will with would you
"""

COMMON_WORDS = frozenset(_COMMON_WORDS.split())

_FOLLOWERS = """
__:abcdefghijklmnopqrstuvwxyz _a:_bcdefghiklmnpqrstuvwyz _b:_abceilopruy _c:_aehilmoprtuy _d:_acehijlmoruwy
_e:_acdefgiklmnpqrstuvwxy _f:_aefiloru _g:_abcehilortuwy _h:_aeiosuwy _i:_abdfgilmnorstv _j:_aeioruy _k:_aehilnorsuwy
_l:_acegilmostuy _m:_abcdeiopruy _n:_abdefginou _o:_abcdfhklmnprstuvw _p:_adefhiklorsuy _q:_aeiou _r:_abdefhimoprsuxy
_s:_acehiklmopqrtuwy _t:_aehinoruvwy _u:_cdgiklmnprstz _v:_aeilotu _w:_aehior _x:_adimosuvxy _y:_aeimnou _z:_aefhiosu
aa:_bcdfgklmnprsty ab:_abcdeilorsuwy ac:_acehikloqrtuy ad:_abcdefghilmnoqrsuvwyz ae:_abdghijklmnorstvxz
af:_adefgilorstuy ag:_adeghiklmnorstuwy ah:_abdefilmnorsu ai:_acdgjklmnprstwz aj:_aceijopu ak:_aefhiklnoprstuy
al:_abcdefgiklmoprstuvwy am:_abdehilmnoprstuy an:_acdeghijknoqstuvyz ao:_bdghijklmnrstuxyz ap:_acehiloprstuy aq:_ahiou
ar:_abcdegiklmnopqrstuvy as:_acehikmopqrstuy at:_acefhijlmorstu au:_bcdgklmnprstx av:_aeilnortuvy aw:_aefiklnorstuy
ax:_aeiostwy ay:_abcdefgilmnorstuw az:_aehikostuyz ba:_abcdefghiklmnoprstuyz bb:_aceilorsuy bc:_aclmops bd:_abeosu
be:_acdefghiklnrstvyz bh:_aepu bi:_abcdeghlmnorstz bj:_ce bk:_is bl:aeiouy bm:_aeio bn:_efio bo:_abcdgklmnorstuvwxy
bp:_akn br:_aceiouy bs:_ceilotuy bt:_acelqrsy bu:_bcdefgiklmnrstyz bw:ae by:_alprst ca:_bcdefgiklmnprstuvy cb:cdln
cc:_aehiloprtu cd:_aceimo ce:_abcdefilmnoprst cg:_eir ch:_abeilmnorsuwy ci:_adefilmnoprstv ck:_abdefghilnoqrstuwy
cl:aeiosuy cm:_deiop cn:ainpru co:_abdefghilmnoprstuvwz cp:_chly cq:u cr:aeiouy cs:_biostu ct:_aefilorsuv
cu:beilmnprst cy:_abchmnprst cz:aekuy da:_bcdfghiklmnprstuvwyz db:_aeimorsu dc:_afhlou dd:_aehilorsy
de:_abcdefghiklmnoprstuvwxz df:_ailoru dg:aeikmr dh:_aeiloruy di:_abcdefglmnoprstuv dj:_aiosu dk:ahi dl:_aeioy
dm:_aeiosuvy dn:_aeiot do:_bcdefgilmnoprstuvwxyz dp:ahjlmor dq:u dr:_aceiouy ds:_abcefhmotw dt:_aehiruv
du:_abcdegiklmnoprst dv:adeios dw:aeior dy:_acegiklmnrst dz:ehim ea:_bcdgklmnprstuv eb:_abeilnorsuy ec:_acehiklortuy
ed:_abdegilorsuwy ee:_acdeiklmnprstvxz ef:_aefilnoprstu eg:_aeghilnorsuyz eh:_adeilmoru ei:_abcdfgijlmnoprstvz
ej:_aeiou ek:_acdeilnostwy el:_abcdefgilmoprstuvy em:_abeikmopsuy en:_acdefghijklnorstuvwyz eo:_bcdfglmnprstuvw
ep:_aehiloprstuy eq:_u er:_abcdefgiklmnoprstvwy es:_abcehilmnopqstu et:_abcdehinoprstuwyz eu:_bcdegklmnprstvxy
ev:_aegiorsyz ew:_acefhilmoprsu ex:_acehioptu ey:_abdeilmnosuw ez:_adegorsuvyz fa:_bcdeiklmnqrstuvxy fb:abei fc:_ao
fd:aeio fe:_abcdegilmnrstwy ff:_abdefilmnorsy fg:_h fi:_acdefgjklnorstvx fj:o fk:_ci fl:_aeiouy fm:_ao fn:_aei
fo:_clnorsuvx fp:_a fr:_aeiou fs:_cehikorsw ft:_aehiloswy fu:_cdegjlnrstz fy:_dio ga:_bcdefgilmnprstvwyz gb:_eioty
gc:_ho gd:aeiosu ge:_abdelmnorstwz gf:aeioru gg:_aeilprsy gh:_abdegilnostw gi:_abcdefgilmnorstuvz gj:iu gk:iotuy
gl:aeiouy gm:_abeos gn:_aeimosu go:_abdegilmnoprstuvw gp:dilru gr:aeiou gs:_bhiktuv gt:_ahiot gu:_acefhiklmnoprsty
gw:aeioruy gx:i gy:_aefimpu gz:hi ha:_bcdefgiklmnoprstuvwy hb:aeioru hc:_ahor hd:_aeior he:_acdfilmnorstwxy hf:iou
hg:aou hh:_a hi:_abcdefgklmnoprstvz hk:_ae hl:_aefiouy hm:_aeiosu hn:_aeinosy ho:_acdeilmnoprstuvw hp:_aloru
hr:_aeiouy hs:_aeimopt ht:_acefhilmost hu:_abcdegiklmnorstuy hv:i hw:aeiory hy:_abdmnprstu hz:_hi ia:_bcdghlmnorstxz
ib:_abeilnoruy ic:_acehiklorstuy id:_adeghijlnostuwyz ie:_cdefglmnrstuvw if:_aefiostuy ig:_aeghilmnoruy ih:_aeiopu
ii:_cghilmnst ij:_aeikru ik:_aehikmorstuy il:_abcdefhijklmostuvwy im:_abeijklmopsu in:_abcdefghiklnorstuvwy
io:_cdeglnprstu ip:_aehilmoprstuz iq:_u ir:_abcdefgiklmnorstuvwy is:_acdehiklmnoprstuv it:_acehilmnorstuwyz iu:_clmst
iv:_aeimoxy iw:a ix:_eioty iy:_aceouy iz:_aehiosuz ja:_bcdefghiklmnpqrsvyz jc:aeil je:_acdefhlmnrstw ji:_acdelmnortuwy
jo:_abcdehiklnorsuy jr:_agn ju:_abdgilmnoprsx jy:o ka:_abcdeghijlmnprstuvwxyz kb:ceiosu kc:_hio kd:aor
ke:_bdefilnprstuvy kf:aeilou kg:_r kh:_aeimopstu ki:_acdeiklmnprstvyz kk:ai kl:_aeioy km:_ace kn:aeio
ko:_bghijklmnprstuvwz kp:_aimor kq:u kr:aeiouy ks:_befhilmopt kt:_aehmory ku:_acdiklmnoprstuwyz kw:adeoru
ky:_ailnorstu la:_abcdeghikmnprstuvwyz lb:aeiloruy lc:_aehikoruyz ld:_abcehilnorstvw le:_abcdefgijklmnoqrstvxy
lf:_aehilorsuv lg:abeior lh:aeiou li:_abcdefgjklmnopqstuvwxyz lj:aou lk:_abehilnorsty ll:_abcefimnosuwy lm:_aehimosuw
ln:_aeiosuz lo:_abcdegilmnoprstuvwy lp:_aefhiorstu lr:_eioy ls:_abehikoty lt:_adehinorsuy lu:_abcdegiklmnrstwxz lv:aei
lw:aeior ly:_adeimnoprstwz lz:abeh ma:_bcdeghijklmnoprstuxyz mb:_adeilorsuy mc:_acdefghklmnpqrst md:_ae
me:_acdegiklmnorstwx mf:aeio mg:_m mh:_aeinou mi:_acdegklmnorstxz mj:eou mk:eio ml:_aceiknoy mm:aeiouy mn:_aeilosuw
mo:_abcdeghilmnorstuvwz mp:_abdehiklorstu mr:_aios ms:_cehiklotuy mt:_himosv mu:_abcdefghlmnrst mv:_ei mw:aeo
my:_ceklmnprst na:_bcdefghiklmnprstuvyz nb:aceioru nc:_adehilnorty nd:_abefilmorstuy ne:_abcdefgiklmnoqrstuvwxyz
nf:_aeikloru ng:_abcdefhijkloprstuwy nh:_aeiouy ni:_acdefgklmnopqstuvxz nj:aeiou nk:_aefhilmnorsuy nl:_aeioy nm:aeiou
nn:_adeiostuy no:_abcdegilmnoprstuvwz np:achiloru nq:ou nr:aeioy ns:_abcefghikloptuwy nt:_aefghilmorsuwy
nu:_acefghilmnoprst nv:_aeio nw:aehioruy nx:_i ny:_aeimostwx nz:_aehio oa:_cdiklmnrst ob:_abeijklmorstuwy
oc:_acehikorstu od:_abdegilorsuwyz oe:_bdflmnorstuxy of:_efiot og:_aegilnorsuy oh:_abegilmnorstu oi:_acdgjlnrstx
oj:aceiou ok:_abeilopsuy ol:_acdefgiklmnostuvwy om:_abefimopsuy on:_acdefgijlmnostvwyz oo:_dfklmnoprsty
op:_acehiklmnoprstuy oq:u or:_abcdegiklmnoprstwy os:_acehilmoprstuy ot:_abehilnostuy ou:_bcdgilnprstvxyz ov:_aeinos
ow:_abcdehilnstuyz ox:_abefilmvy oy:_acdefilmosu oz:_aehiyz pa:_bcdgiklmnoprstuvwy pb:eorsu pc:_ahioyz pd:_abfir
pe:_acdefilnoprst pf:_aeilu ph:_adeinorsuyz pi:_acdegklnopqrstvxz pj:_e pk:aegio pl:aeiouy pm:_aegno pn:_cdeiu
po:_cdeiklmnoprstuvw pp:_aehilorsy pr:_aeiou ps:_acefhiotuy pt:_aehiosuy pu:abcdeijlnprstz py:_acgiklort pz:_i
qa:_elrs qi:_nsy qo:mu qu:aeio ra:_bcdefghijklmnoprstuvwyz rb:_aeiorsuy rc:_aehiklostuy rd:_aeilmnoprsuwy
re:_abcdefghijlmnpqrstvwyz rf:_aeiloru rg:_acehilorsuy rh:_aeiouy ri:_abcdefgklmnopstuvxz rj:aeiou rk:_aehilnsuwy
rl:_adefiosuwy rm:_aeilostuy rn:_aefhimopsty ro:_abcdfghijklmnoprstuvwxyz rp:_aehilorsu rq:iu rr:_aeiosuy
rs:_abcehioptuvy rt:_abcefhilmnorsuwy ru:_abcdefgiklmnprstxz rv:aeio rw:_aehior rx:aio ry:_abdeijlnopstv rz:_aelosy
sa:_abcdfghiklmnoprstuvwyz sb:_aeijosuy sc:_aehiloru sd:_aeioru se:_abcdefilmnopqrstuvwxy sf:_aeiosuy sg:aeortu
sh:_acefilmnorsuvwy si:_abcdefglmnoprstvxz sj:dou sk:_aehimorsuy sl:_aeiouy sm:_aeiosuy sn:_aeiotuy
so:_acdefhiklmnopqrtuv sp:_aehilorsu sq:_u sr:_aceimouy ss:_acdefilmnorsuy st:_adehilmoprsuy su:_abcdefghiklmnprsvwz
sv:aeip sw:_aeiou sy:_bcdeklmnrs ta:_bcefghiklmnprstuwxy tb:_aeioruy tc:_ahloruy td:_aeio te:_acdefgijlmnoprstvwx
tf:_aeilou tg:_aeoru th:_aeilmoprsuwy ti:_abcdefglmnopqrstv tj:_a tk:_aio tl:aeioy tm:_aeiloptu tn:_aefiou
to:_bcdgiklmnoprstuwy tp:_aefhilorsu tq:_a tr:_aeimouy ts:_abcefhikmtuvyz tt:_aehiloprsy tu:abcdefgilmnoprst tv:_ai
tw:aehior tx:t ty:_alnprs tz:_ceghikmpsuy ua:_bdgiklmnrtxy ub:_abcehijlmoprstuy uc:acdehiklrstuy ud:_adeghilmorswy
ue:_bdelnprstz uf:_afituy ug:_abdeghilmorstu uh:_aeort ui:_acdeglmnprstv uj:_adfio uk:_aehikloruw
ul:_acdefgiklnoprstuy um:_abdeimnopsu un:_abcdefghiklmnoprstuvwy uo:_ijlnrstuz up:_abcdehilnoprst
ur:_abcdefgiklmnopqrstvy us:_abcehiklnpstu ut:_acdefhilmoprstuy uu:_akmrs uv:_adeioru uw:_a ux:_beitu uy:_aegilosu
uz:_abehimsuz va:_bcdeghilnrstu vd:_as ve:_adeilmnprsty vg:eor vi:_abcdefglnoprstv vl:aeiou vm:_or vn:_a
vo:_cgiklnorstuwyz vr:aeio vs:_hk vt:_au vu:_aelrsuy vv:iy vy:_aciotw wa:_abdhiklmnprstuvyz wb:aeoru wc:ao wd:_ehos
we:_abdegilnrsvy wf:ao wh:aeioy wi:_cdefgilmnrst wk:_aeisw wl:_aeiy wm:aei wn:_aehilsty wo:_almnoruv wp:io wr:aeio
ws:_cehikoprtw wt:ahioy wu:_cdhjmnrstx ww:_ew wy:_ceglnotz wz:_ xa:_acdgmnsy xb:ou xc:_ehil xd:_ei xe:_cdilmnrst xf:or
xh:ai xi:_abcdelmnorstuv xl:_e xo:bnprt xp:_aelor xs:_iptu xt:_abehiorsu xu:_adenrs xv:i xw:ae xx:_lx xy:_lmt
ya:_abcdeghklmnoprstuvy yb:aeory yc:_aehklosy yd:_adeinry ye:_adghlnorstvw yf:airu yg:ailoru yi:_ceglnrstvz yj:o
yk:_ehy yl:_aehilovy ym:_abemnopsuy yn:_acdegnost yo:_bklnorstuv yp:aehiorst yr:_aeilnorstuy ys:_abcehimostu
yt:aehiory yu:_abcdegiklmnrstuw yv:aei yw:aehior yz:aei za:_abcdfhiklmnqrstvwy zb:e ze:_acdehiklnprstvy zf:i zg:ei
zh:adeinouyz zi:_abegiklmnopryz zk:aeioy zl:ei zm:ai zo:_dkmnoprtuvy zs:_ac zu:_klmrz zy:_nw zz:_aeikloy
"""

FOLLOWERS = {pair: frozenset(letters) for pair, letters in (item.split(":") for item in _FOLLOWERS.split())}
"""Two letters -> those that come after them in 99.8 % of English, or are not rare in themselves.

`_` stands for a word's beginning and its end.
"""
